//! Integration tests of the control plane, in one binary.

mod signal;
