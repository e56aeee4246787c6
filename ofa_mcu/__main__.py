"""`python -m ofa_mcu` is `ofa-mcu`."""

from ofa_mcu.cli import main

if __name__ == "__main__":
    main()
