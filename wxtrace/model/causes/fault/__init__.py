"""Fatal signals: what they say about memory, and about the program that ended itself."""
