//! The service, over real sockets: one binary, one module a subject.

#![expect(clippy::unwrap_used, reason = "tests")]

mod labels;
mod running;
