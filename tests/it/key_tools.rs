//! key_tools.
