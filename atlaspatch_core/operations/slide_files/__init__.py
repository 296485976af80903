"""What a slide's file holds, what is taken of it, and why."""
