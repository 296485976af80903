"""Messages to people: runs that failed, slides that need somebody."""
