//! A service broker that speaks ZeroMQ, its clients and its workers, in pure Rust.
//!
//! Workers connect and announce the services they offer; clients ask for a service by name; the
//! broker gives each task to the worker that has been idle longest. Programs use [`Client`] and
//! [`Worker`]; the program `scale0` is the broker, and [`server`] puts one inside another program.
//!
//! # The floors
//!
//! A module names only what lies below it. Up to [`broker`] the code decides: values and time in,
//! values out, no sockets, no clock, no randomness. From [`net`] on it does what was decided.
//!
//! | floor | what it is for |
//! |---|---|
//! | [`time`], [`limits`] | time as a value; every bound of the house |
//! | [`wire`] | ZMTP bytes to values and back |
//! | [`security`] | mechanisms: NULL, PLAIN and CURVE; keys and users |
//! | [`session`] | one peer's whole conversation, as a state machine |
//! | [`pattern`] | the rules of the eleven socket types: where a message goes, and what becomes of one that comes |
//! | [`protocol`] | messages to the broker's words and back, in every dialect |
//! | [`broker`] | who does what: events in, actions out |
//! | [`spread`] | several brokers in one process: which of them decides what |
//! | [`net`] | streams, links, clocks |
//! | [`auth`] | who may come in |
//! | [`socket`] | the general ZeroMQ sockets; [`socket::libzmq`] for those who come from libzmq |
//! | [`sdk`] | [`Client`] and [`Worker`] |
//! | [`server`] | the broker as a process |

#[cfg(feature = "net")]
pub mod auth;
pub mod broker;
mod chain;
pub mod limits;
#[cfg(feature = "net")]
pub mod net;
pub mod pattern;
pub mod protocol;
#[cfg(feature = "sdk")]
pub mod sdk;
pub mod security;
#[cfg(feature = "server")]
pub mod server;
pub mod session;
#[cfg(feature = "socket")]
pub mod socket;
pub mod spread;
mod table;
pub mod time;
pub mod wire;

#[cfg(feature = "sdk")]
pub use sdk::{Client, Task, Worker};

/// The README's programs compile.
#[cfg(all(doctest, feature = "sdk", feature = "socket"))]
#[doc = include_str!("../README.md")]
mod readme {}
