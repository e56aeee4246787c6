"""Sound: files and their splits, augmentation of waveforms, and the front-end that makes bytes of them.

The front-end is integer arithmetic, the same in numpy here and in C in firmware/lib/ofa_frontend.
"""
