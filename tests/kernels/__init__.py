"""The C kernels on the host, sanitized and optimized, against the numpy reference; and as cross compilers see them."""
