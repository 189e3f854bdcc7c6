//! Kernel to bytes: what of the machine the engine touches.
pub mod preflight;
