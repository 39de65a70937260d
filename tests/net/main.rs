//! `sylvan::net` as programs see it. TEMPORARY: the helpers' files are mounted here.
#![forbid(unsafe_code)]

mod blocking;
mod resolve;
