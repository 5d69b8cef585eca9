#!/usr/bin/env python3
"""Writes, as assembler, the exported malloc and free: jemalloc's own two functions, byte by byte with
their relocations, from the object file of jemalloc.c given.

They are what the speed of the whole program hangs on, and any forwarding function would cost more
than all the rest of the plain variant.  They lie together in one page.  A second page holds, at the
same places, jumps through slots: for the tracked variant it is moved over the first (entry.c), so its
jumps are linked for there.  Where a function leaves itself (jemalloc's slow path) it goes to ours.

That can be done of functions in the form known from jemalloc 5.3: one relative jump out of each, to its
slow path, as the only way out but `ret`; and nothing on the stack but the return address, by
jemalloc's own unwind information.  That of the copies says so too, and is as true of a jump.  Of others
nothing is copied: status 3, and the reason on stderr.
"""
import re
import subprocess
import sys

PAGE = 4096
FUNCTIONS = {  # exported name: name in the object, its slow path there, ours
    "malloc": ("jep_malloc", "je_malloc_default", "entry_malloc_slow"),
    "free": ("jep_free", "je_free_default", "je_free_default"),
}


def run(*command):
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def fail(why):
    print(why, file=sys.stderr)
    sys.exit(3)


def symbols(path):
    table = {}
    for line in run("readelf", "-sW", path).splitlines():
        field = line.split()
        if len(field) >= 8 and field[3] == "FUNC":
            table[field[7]] = (int(field[1], 16), int(field[2], 0))
    return table


def relocations(path):
    """[(offset, type, symbol and addend)] of .text"""
    found, in_text = [], False
    for line in run("objdump", "-r", path).splitlines():
        if line.startswith("RELOCATION RECORDS FOR"):
            in_text = line.endswith("[.text]:")
        field = line.split()
        if in_text and len(field) == 3 and re.fullmatch("[0-9a-f]{8,16}", field[0]):
            found.append((int(field[0], 16), field[1], field[2]))
    return found


def text_bytes(path, start, size):
    data = bytearray()
    listing = run("objdump", "-s", "-j", ".text", f"--start-address={start}",
                  f"--stop-address={start + size}", path)
    for line in listing.splitlines():
        match = re.match(r" ([0-9a-f]+) ((?:[0-9a-f]{2,8} ){1,4})", line)
        if match:
            data += bytes.fromhex(match.group(2).replace(" ", ""))
    if len(data) != size:
        fail(f"{len(data)} bytes of code where {size} are expected")
    return data


def way_out(path, start, size, slow):
    """Offset of the one jump to `slow`."""
    out = []
    listing = run("objdump", "-d", "--no-show-raw-insn", f"--start-address={start}",
                  f"--stop-address={start + size}", path)
    for line in listing.splitlines():
        match = re.match(r"\s+([0-9a-f]+):\s+(j\w+|call\w*)\s+([0-9a-f]+)", line)
        if match and not start <= int(match.group(3), 16) < start + size:
            out.append((int(match.group(1), 16), match.group(2), int(match.group(3), 16)))
        elif re.match(r"\s+[0-9a-f]+:\s+(j\w+|call\w*)\s+\*", line):
            fail("an indirect jump")
    if len(out) != 1 or out[0][1] != "jmp" or out[0][2] != slow:
        fail(f"ways out {out}")
    return out[0][0]


def check_frame(path, start, size):
    """The return address lies on top of the stack at each instruction, and no register is saved."""
    listing = run("readelf", "--debug-dump=frames", path)
    entries = re.split(r"\n\n", listing)
    found = [entry for entry in entries if re.search(rf" FDE .* pc=0*{start:x}\.\.0*{start + size:x}\n", entry)]
    if len(found) != 1:
        fail(f"{len(found)} unwind entries of a function")
    common = re.search(r" FDE cie=([0-9a-f]+) ", found[0])[1]
    rules = {}
    for entry in entries:
        if re.search(rf"^{common} [0-9a-f]+ [0-9a-f]+ CIE$", entry, re.M) or entry is found[0]:
            rules[entry is found[0]] = set(re.findall(r"^  DW_CFA_(.*\S)", entry, re.M)) - {"nop"}
    if rules != {False: {"def_cfa: r7 (rsp) ofs 8", "offset: r16 (rip) at cfa-8"}, True: set()}:
        fail(f"a frame {rules}")


def emit(name, path, table, relocs):
    inside, slow, ours = FUNCTIONS[name]
    for wanted in (inside, slow):
        if wanted not in table:
            fail(f"no {wanted}")
    start, size = table[inside]
    check_frame(path, start, size)
    data = text_bytes(path, start, size)
    jump = way_out(path, start, size, table[slow][0]) - start
    if data[jump] != 0xE9:
        fail("a short jump to the slow path")
    data[jump + 1:jump + 5] = bytes(4)
    print(f".globl {name}\n.type {name}, @function\n.p2align 6\n{name}:\n.cfi_startproc")
    print(f".globl entry_{name}\n.hidden entry_{name}\n.set entry_{name}, {name}")
    for at in range(0, size, 16):
        print("  .byte " + ", ".join(f"0x{b:02x}" for b in data[at:at + 16]))
    print(f".cfi_endproc\n.size {name}, . - {name}")
    relocate(name, jump + 1, "R_X86_64_PLT32", f"{ours}-4")
    for offset, kind, value in relocs:
        if start <= offset < start + size:
            if kind not in ("R_X86_64_REX_GOTPCRELX", "R_X86_64_GOTTPOFF", "R_X86_64_GOTPCREL"):
                fail(f"relocation {kind} of {value}")
            relocate(name, offset - start, kind, value)


def relocate(name, offset, kind, value):
    """Clang's assembler relocates by symbol 0 where nothing but `.reloc` names the symbol."""
    print(f".hidden {re.match('[A-Za-z_0-9]+', value)[0]}")
    print(f".reloc {name} + {offset}, {kind}, {value}")


def main():
    path = sys.argv[1]
    table, relocs = symbols(path), relocations(path)
    print(".text\n.p2align 12\n.globl entry_page\n.hidden entry_page\nentry_page:")
    for name in FUNCTIONS:
        emit(name, path, table, relocs)
    print(".p2align 12, 0xcc\n.globl entry_page_tracked\n.hidden entry_page_tracked")
    print("entry_page_tracked:")
    for name in FUNCTIONS:
        print(f".org entry_page_tracked + ({name} - entry_page), 0xcc")
        print(f"  jmp *slot_{name} + {PAGE}(%rip)")
    print(".p2align 12, 0xcc\n.hidden je_tsd_tls\n.type je_tsd_tls, @tls_object")
    print('.section .note.GNU-stack, "", @progbits')


if __name__ == "__main__":
    main()
