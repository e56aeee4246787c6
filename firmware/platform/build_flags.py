"""PlatformIO script, run after the platform's own: tells the firmware what decides what the compiler makes of it.

OFA_FLAGS becomes the level of optimization, the core, and what else changes results or speed much, as the compiler is
told them in the end: "-O2,-mcpu=cortex-m7".
"""

from SCons.Script import Import

Import("projenv")

TELLING = ("-mcpu=", "-march=", "-flto", "-ffast-math")
words = projenv.subst("$CFLAGS $CCFLAGS").split()  # noqa: F821
told = [word for word in words if word.startswith("-O")][-1:]  # the last one counts
told += dict.fromkeys(word for word in words if word.startswith(TELLING))
projenv.Append(CPPDEFINES=[("OFA_FLAGS", projenv.StringifyMacro(",".join(told)))])  # noqa: F821
