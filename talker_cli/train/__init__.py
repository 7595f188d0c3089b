"""What training is made of: batches, augmentation, losses, and runs that resume."""
