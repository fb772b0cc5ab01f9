//! A link between two processes that breaks in the ways that networks do: it goes silent, it is
//! cut, it takes its time. What was sent into a silent one comes out when it is mended, as with
//! TCP itself.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

/// A proxy in front of an endpoint. Dropping it cuts all connections through it.
pub(crate) struct Cable {
    pub(crate) endpoint: String,
    inside: Arc<Inside>,
}

struct Inside {
    state: Mutex<State>,
    changed: Condvar,
    delay: Duration,
}

#[derive(Default)]
struct State {
    parted: bool,
    over: bool,
    streams: Vec<TcpStream>,
}

impl Cable {
    /// A good one.
    pub(crate) fn to(endpoint: &str) -> Self {
        Self::slow(endpoint, Duration::ZERO)
    }

    /// One that takes this long for whatever it is given at once, up to 64 KiB, each way.
    pub(crate) fn slow(endpoint: &str, delay: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let own = listener.local_addr().unwrap();
        let far = endpoint.trim_start_matches("tcp://").to_owned();
        let inside = Arc::new(Inside {
            state: Mutex::default(),
            changed: Condvar::new(),
            delay,
        });
        let accepting = Arc::clone(&inside);
        std::thread::spawn(move || {
            for near in listener.incoming() {
                if !accepting.is_whole() {
                    return;
                }
                let near = near.unwrap();
                // Nobody there: then the near side sees its connection end.
                if let Ok(far) = TcpStream::connect(&far) {
                    accepting.join(&near, &far);
                    accepting.join(&far, &near);
                }
            }
        });
        Self {
            endpoint: format!("tcp://{own}"),
            inside,
        }
    }

    /// Nothing passes any more, not even the end of a connection, and nobody is told.
    pub(crate) fn part(&self) {
        self.inside.state.lock().unwrap().parted = true;
    }

    /// What waited passes.
    pub(crate) fn mend(&self) {
        self.inside.state.lock().unwrap().parted = false;
        self.inside.changed.notify_all();
    }

    /// All connections end, wherever they are. New ones are good.
    pub(crate) fn cut(&self) {
        for stream in self.inside.state.lock().unwrap().streams.drain(..) {
            // Over already: that is as good.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

impl Drop for Cable {
    fn drop(&mut self) {
        self.inside.state.lock().unwrap().over = true;
        self.inside.changed.notify_all();
        self.cut();
        // Wakes whoever accepts; it may have ended.
        let _ = TcpStream::connect(self.endpoint.trim_start_matches("tcp://"));
    }
}

impl Inside {
    /// Waits while it is parted; false once all is over.
    fn is_whole(&self) -> bool {
        let parted = |state: &mut State| state.parted && !state.over;
        let state = self.state.lock().unwrap();
        !self.changed.wait_while(state, parted).unwrap().over
    }

    /// Carries what comes from one end to the other, on a thread of its own.
    fn join(self: &Arc<Self>, from: &TcpStream, to: &TcpStream) {
        let (mut from, mut to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
        // Each link of a chain that waits for a full segment would add its own delay.
        to.set_nodelay(true).unwrap();
        self.state
            .lock()
            .unwrap()
            .streams
            .push(from.try_clone().unwrap());
        let inside = Arc::clone(self);
        std::thread::spawn(move || {
            let mut bytes = vec![0; 64 << 10];
            loop {
                let n = from.read(&mut bytes).unwrap_or(0);
                if !inside.is_whole() {
                    return;
                }
                std::thread::sleep(inside.delay);
                if n == 0 || to.write_all(&bytes[..n]).is_err() {
                    let _ = to.shutdown(Shutdown::Write);
                    let _ = from.shutdown(Shutdown::Read);
                    return;
                }
            }
        });
    }
}
