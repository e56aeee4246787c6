"""What a network costs on a board: memory plan, SRAM, flash, instructions, energy; from shapes alone.

Search asks what is here, and the code generator obeys it.
"""
