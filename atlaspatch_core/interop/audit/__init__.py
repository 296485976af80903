"""What is wrong with a folder of results, whoever wrote it; nothing in it is changed."""
