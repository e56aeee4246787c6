"""Generated C, compiled and run on the host and on emulated cores; `emulation` also counts instructions by layer."""
