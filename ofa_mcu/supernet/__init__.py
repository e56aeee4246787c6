"""Shared weights of every subnet of a space, the networks cut out of them, and the channel order they share.

One executor runs a shape graph; a supernet and a plain network differ only in where its parameters come from.
"""
