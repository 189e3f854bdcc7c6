//! State machines without I/O: what was accepted, handed over, acknowledged, reported.
