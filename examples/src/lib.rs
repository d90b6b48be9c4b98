//! The programs are beside this folder; this library is empty.
