"""Pictures: files, colours, masks, folders, and arrays in [0, 1]."""
