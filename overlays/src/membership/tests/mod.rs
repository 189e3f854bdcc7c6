//! The rules of membership, seen from outside.

mod behavior;
mod hostile;
mod node;
mod rules;
mod world;
