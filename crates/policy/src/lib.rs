//! Who may connect with what to where, as plain values.
