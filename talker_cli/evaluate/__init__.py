"""What measuring is made of: rows and their means, names of other systems' files, regions, sounds, the picture."""
