"""The articulated corpus: motion for transcribed speech without capture, from phones by a coarticulation model."""
