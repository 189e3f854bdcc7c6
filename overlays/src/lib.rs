//! Overlay and membership protocols as state machines without I/O.
