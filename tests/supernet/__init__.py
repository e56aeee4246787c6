"""Tests of the supernet: what is cut out of it, how its channels are sorted, how it is stored; one thread of torch."""
