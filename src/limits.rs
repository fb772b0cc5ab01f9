//! Every bound of the house, with a default that is safe on a port open to strangers.

use std::time::Duration;

/// What may grow, and how far. Sizes are bytes unless the name says otherwise.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Limits {
    /// One frame's body. Compared with the length field, before anything is allocated.
    pub frame: usize,
    /// The bodies of all parts of one message together.
    pub message: usize,
    /// Parts of one message.
    pub parts: usize,
    /// Body of a command frame after the handshake.
    pub command: usize,
    /// All that a peer may send before its READY has been read.
    pub handshake: usize,
    /// READY's properties.
    pub metadata: usize,
    /// Number of READY's properties.
    pub metadata_properties: usize,
    /// From accept or connect to READY; absolute, not idle time.
    pub handshake_time: Duration,
    /// What may wait to be written to one peer; beyond it the peer is cut.
    pub outbox: usize,
    /// A peer must take 1 KiB of what waits for it, or all, in each such time; if not, it is cut.
    pub stall_time: Duration,
    /// A begun message must grow by at least `trickle` bytes in each such time; zero bytes demand
    /// nothing.
    pub trickle_time: Duration,
    /// See [`trickle_time`](Self::trickle_time).
    pub trickle: usize,

    /// An S0 header frame.
    pub header: usize,
    /// Properties in an S0 header.
    pub properties: usize,
    /// Frames before and including the first empty one, from REQ sockets and proxies.
    pub envelope: usize,

    /// Services that workers offer, in total.
    pub services: usize,
    /// Services that one worker offers.
    pub services_per_worker: usize,
    /// Tasks one worker may hold, whatever capacity it states (unless its Caps say `deep`).
    pub worker_tasks: usize,
    /// A worker with more than this waiting to be written to it gets no task, and a client no part
    /// of a reply. At most half of `outbox` counts.
    pub worker_outbox: usize,
    /// Parts of one reply that wait until their client takes them, if their worker sent them
    /// without credit. One message more may wait.
    pub ahead: usize,
    /// Tasks waiting for one service.
    pub queue_tasks: usize,
    /// Bytes of the tasks waiting for one service.
    pub queue_bytes: usize,
    /// Tasks of one client, waiting or with a worker.
    pub client_tasks: usize,
    /// Bytes of the tasks of one client.
    pub client_bytes: usize,
    /// Tasks without an answer, of all clients.
    pub tasks: usize,
    /// Everything held: incoming, queued and outgoing.
    pub held: usize,
    /// Names without a worker for which tasks may wait.
    pub awaited_names: usize,
    /// Malformed messages after which a connection is closed.
    pub strikes: u32,

    /// Connections, the listener's own aside.
    pub connections: usize,
    /// Connections that have not finished their handshake.
    pub pending_handshakes: usize,
    /// Connections from one address; `None` is no limit of its own.
    pub connections_per_address: Option<usize>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            frame: 16 << 20,
            message: 16 << 20,
            parts: 1024,
            command: 8 << 10,
            handshake: 16 << 10,
            metadata: 8 << 10,
            metadata_properties: 64,
            handshake_time: Duration::from_secs(5),
            outbox: 32 << 20,
            stall_time: Duration::from_secs(30),
            trickle_time: Duration::from_secs(30),
            trickle: 1024,

            header: 4 << 10,
            properties: 16,
            envelope: 8,

            services: 10_000,
            services_per_worker: 256,
            worker_tasks: 512,
            worker_outbox: 4 << 20,
            ahead: 1 << 20,
            queue_tasks: 10_000,
            queue_bytes: 256 << 20,
            client_tasks: 4096,
            client_bytes: 128 << 20,
            tasks: 1_000_000,
            held: 1 << 30,
            awaited_names: 1000,
            strikes: 3,

            connections: 65_536,
            pending_handshakes: 4096,
            connections_per_address: None,
        }
    }
}
