//! The service, over real sockets: one binary, one module a subject.

#![expect(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "tests")]

mod batches;
mod credentials;
mod door;
mod encryption;
mod faults;
mod labels;
mod lifecycle;
mod limits;
mod listening;
mod process;
mod refusals;
mod running;
mod signing;
mod starter;
mod watching;
