"""SCons build script of the local platform: flags, linker script, sizes, and a run in the emulator as "upload".

Everything about the board comes from its manifest: build.cpu, build.fpu (empty for software floating point),
build.flash_origin, build.ram_origin, build.stack_bytes, build.uart_base, build.systick_hz, build.qemu_machine,
build.qemu_shift; the budget is upload.maximum_size and upload.maximum_ram_size. build.arena_origin and
build.arena_bytes are of an arena that has a memory of its own; the rest of maximum_ram_size is for everything else.
"""

import os

from SCons.Script import AlwaysBuild, Builder, Default, DefaultEnvironment

env = DefaultEnvironment()
board = env.BoardConfig()

fpu = board.get("build.fpu", "")
machine_flags = [f"-mcpu={board.get('build.cpu')}", "-mthumb"]
machine_flags += [f"-mfpu={fpu}", "-mfloat-abi=hard"] if fpu else ["-mfloat-abi=soft"]
stack_bytes = int(board.get("build.stack_bytes"))

TOOLS = "arm-none-eabi-"
env.Replace(
    AR=TOOLS + "gcc-ar",
    AS=TOOLS + "gcc",
    CC=TOOLS + "gcc",
    CXX=TOOLS + "g++",
    LINK=TOOLS + "gcc",  # no C++ library is linked
    GDB="gdb-multiarch",
    OBJCOPY=TOOLS + "objcopy",
    RANLIB=TOOLS + "gcc-ranlib",
    SIZETOOL=TOOLS + "size",
    ARFLAGS=["rc"],
    SIZEPROGREGEXP=r"^(?:\.isr_vector|\.text|\.rodata|\.ARM\.exidx|\.data)\s+(\d+).*",
    SIZEDATAREGEXP=r"^(?:\.data|\.bss|\.noinit|\.ofa_arena|\.stack)\s+(\d+).*",
    SIZECHECKCMD="$SIZETOOL -A -d $SOURCES",
    SIZEPRINTCMD="$SIZETOOL -A -d $SOURCES",
    PROGNAME="firmware",
    PROGSUFFIX=".elf",
)

env.Append(
    ASFLAGS=machine_flags,
    ASPPFLAGS=["-x", "assembler-with-cpp"],
    CCFLAGS=[
        *machine_flags,
        "-O2",
        "-g",
        "-Wall",
        "-Wextra",
        "-Werror",
        "-ffunction-sections",
        "-fdata-sections",
        "-fno-common",
        f"-ffile-prefix-map={env.subst('$PROJECT_DIR')}=.",
    ],
    CFLAGS=["-std=gnu11"],
    CXXFLAGS=["-std=gnu++17", "-fno-rtti", "-fno-exceptions", "-fno-threadsafe-statics"],
    CPPDEFINES=[
        ("OFA_BOARD", f'\\"{board.get("build.ofa_board")}\\"'),
        ("OFA_STACK_BYTES", stack_bytes),
        ("OFA_UART_BASE", f"{board.get('build.uart_base')}u"),
        ("OFA_SYSTICK_HZ", f"{board.get('build.systick_hz')}u"),
    ],
    LINKFLAGS=[
        *machine_flags,
        "-nostartfiles",
        "--specs=nano.specs",
        "-Wl,--gc-sections",
        "-Wl,--fatal-warnings",
        f"-Wl,-Map,{env.subst('$BUILD_DIR')}/firmware.map",
    ],
    LIBS=["m", "c", "gcc"],
    BUILDERS={
        "ElfToBin": Builder(
            action=env.VerboseAction("$OBJCOPY -O binary $SOURCES $TARGET", "Building $TARGET"), suffix=".bin"
        )
    },
)

# The stack comes first: running over its end leaves the RAM, which the core reports, and spoils nothing.
LINKER_SCRIPT = """\
ENTRY(Reset_Handler)
MEMORY
{{
  FLASH (rx)  : ORIGIN = {flash_origin}, LENGTH = {flash_bytes}
  RAM   (rwx) : ORIGIN = {ram_origin}, LENGTH = {ram_bytes}
{arena_memory}}}
SECTIONS
{{
  .isr_vector : {{ KEEP(*(.isr_vector)) . = ALIGN(8); }} > FLASH
  .text : {{ *(.text .text.*) . = ALIGN(8); }} > FLASH
  .rodata : {{ *(.rodata .rodata.*) . = ALIGN(8); }} > FLASH
  .ARM.exidx : {{ *(.ARM.exidx* .gnu.linkonce.armexidx.*) }} > FLASH
  .init_array : {{ *(.init_array .init_array.*) }} > FLASH
  .stack (NOLOAD) : {{ _stack_start = .; . = . + {stack_bytes}; _stack_end = .; }} > RAM
  .ofa_arena (NOLOAD) : {{ *(.ofa_arena .bss.ofa_arena) . = ALIGN(8); }} > {arena}
  .noinit (NOLOAD) : {{ *(.noinit .noinit.*) . = ALIGN(4); }} > RAM
  .data : {{ _sdata = .; *(.data .data.*) . = ALIGN(4); _edata = .; }} > RAM AT > FLASH
  .bss (NOLOAD) : {{ _sbss = .; *(.bss .bss.* COMMON) . = ALIGN(8); _ebss = .; }} > RAM
  _sidata = LOADADDR(.data);
}}
ASSERT(SIZEOF(.init_array) == 0, "constructors of static objects are not run")
"""


def write_if_changed(path, text):
    if os.path.isfile(path):
        with open(path, encoding="utf8") as file:
            if file.read() == text:
                return
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf8") as file:
        file.write(text)


arena_bytes = int(board.get("build.arena_bytes", 0))
arena_origin = board.get("build.arena_origin", "0")
linker_script = os.path.join(env.subst("$BUILD_DIR"), "ofa_link.ld")
write_if_changed(
    linker_script,
    LINKER_SCRIPT.format(
        flash_origin=board.get("build.flash_origin"),
        flash_bytes=board.get("upload.maximum_size"),
        ram_origin=board.get("build.ram_origin"),
        ram_bytes=int(board.get("upload.maximum_ram_size")) - arena_bytes,
        arena="ARENA" if arena_bytes else "RAM",
        arena_memory=f"  ARENA (rw)  : ORIGIN = {arena_origin}, LENGTH = {arena_bytes}\n" if arena_bytes else "",
        stack_bytes=stack_bytes,
    ),
)
env.Replace(LDSCRIPT_PATH=linker_script)

elf = env.BuildProgram()
env.Depends(elf, linker_script)
binary = env.ElfToBin(os.path.join("$BUILD_DIR", "${PROGNAME}"), elf)
AlwaysBuild(env.Alias("nobuild", binary))
program = env.Alias("buildprog", binary, binary)
env.AddPlatformTarget(
    "size",
    elf,
    env.VerboseAction("$SIZEPRINTCMD", "Calculating size $SOURCE"),
    "Program Size",
    "Calculate program size",
)

env.Replace(
    UPLOADCMD=f"qemu-system-arm -M {board.get('build.qemu_machine')} -icount shift={board.get('build.qemu_shift')} "
    "-kernel $SOURCE -display none -serial stdio -monitor none"
)
env.AddPlatformTarget(
    "upload",
    elf,
    [env.VerboseAction("$UPLOADCMD", "Running $SOURCE in QEMU, the serial line is this terminal")],
    "Run in QEMU",
)

Default([program])
