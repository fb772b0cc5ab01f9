//! Connects, shakes hands and goes, over and over: what a handshake costs the other end. It is the
//! same for all implementations.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use scale0::net::{Clock, Link};
use scale0::session::Config;
use scale0::wire::{Endpoint, SocketType};

use crate::Failure;
use crate::keys;
use crate::sockets::job::Job;
use crate::sockets::meter::Meter;

pub async fn play(job: &Job) -> Result<(), Failure> {
    let endpoint: Endpoint = job.endpoint().parse()?;
    let mut config = Config::new(SocketType::Push);
    if job.curve {
        config.security = keys::client()?;
    }
    let (config, clock) = (Arc::new(config), Clock::start());
    let meter = Rc::new(RefCell::new(Meter::each(job)));
    let mut all = Vec::new();
    for _ in 0..job.count {
        let (endpoint, config) = (endpoint.clone(), Arc::clone(&config));
        let meter = Rc::clone(&meter);
        all.push(tokio::task::spawn_local(async move {
            loop {
                match Link::open(&endpoint, Arc::clone(&config), clock).await {
                    Ok(_) => meter.borrow_mut().tick(),
                    Err(error) => return error,
                }
            }
        }));
    }
    let mut error = None;
    for task in all {
        error = Some(task.await?);
    }
    Err(error.map_or("nobody knocks".into(), Failure::from))
}
