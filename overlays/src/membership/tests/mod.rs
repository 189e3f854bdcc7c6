//! The rules of membership, seen from outside.

mod behavior;
mod hostile;
mod rules;
mod world;
