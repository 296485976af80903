"""What the documentation site shows that is made of the code: the pages of the reference, hardware, and pictures."""
