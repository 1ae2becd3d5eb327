"""Compressed frames decoded outside this process, whose end no damaged file shall be.

Decoders are written in C, and damaged or hostile data can make them crash, loop or take all memory.
Therefore compressed frames of a file, wherever it comes from, are handed to child processes that
do nothing else (`pool.decode_frame`); uncompressed frames need no decoder and are read in place.

- A child that **crashes** or is ended costs the one frame it worked on, which becomes a `CodecError`;
  another child takes its place and the other frames go on.
- **Memory** of a child is capped at what its frame can need (on Linux, by its address space; macOS and
  Windows have no such limit, there the frame's declared size alone is checked beforehand).
- **Time** is capped: a child ends itself when a frame takes too long.
- No rule of trust or size spares a file the detour: after the start of the children (a tenth of a
  second, once) it costs a few percent.

Children are new interpreters that talk through pipes, on every system alike. They are not forked: the
caller has threads, and in Slicer Qt's and VTK's as well, whose locks a fork would copy in whatever
state they are. Nor is ``multiprocessing`` used, whose children import the caller's main
module, and start ``sys.executable``, which inside Slicer is Slicer. The interpreter is the caller's
own, inside Slicer ``PythonSlicer`` (see `interpreter`); where none is found, frames are decoded
inside this process, up to a bounded size, and the volume's warnings say so.

Children are kept for the next series, end when they were idle for half a minute, and end with
their parent, however that ends: their standard input closes. In a process that was forked from
this one, new ones are started.
"""
