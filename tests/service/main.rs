//! The service, over real sockets: one binary, one module a subject.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod labels;
mod running;
