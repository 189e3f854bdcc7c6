//! The configuration as its users meet it: files, environment, flags, messages, documents.

mod definitions;
mod documents;
mod mistakes;
mod parameters;
mod sources;
mod support;
