//! scale0's own sockets.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use scale0::auth::Authorized;
use scale0::socket::{Options, Socket};
use scale0::wire::{Message, SocketType};

use crate::Failure;
use crate::child::say;
use crate::keys;
use crate::sockets::job::Job;
use crate::sockets::meter::{Crowd, Meter, Trips};

pub async fn play(job: &Job) -> Result<(), Failure> {
    let payload = job.payload();
    let fresh = || Message::single(&payload);
    match job.role.as_str() {
        "push" => {
            let socket = connected(SocketType::Push, job)?;
            loop {
                socket.send(fresh()).await?;
            }
        }
        "pull" => {
            let socket = bound(SocketType::Pull, job, &[]).await?;
            let mut meter = Meter::new(job);
            loop {
                socket.recv().await?;
                meter.tick();
            }
        }
        role @ ("pub" | "pubwait") => {
            let options: &[_] = match role {
                "pub" => &[],
                _ => &[("xpub_nodrop", "1")],
            };
            let socket = bound(SocketType::Pub, job, options).await?;
            loop {
                for _ in 0..job.burst() {
                    socket.send(fresh()).await?;
                }
                tokio::task::yield_now().await;
            }
        }
        "sub" => {
            let crowd = Rc::new(RefCell::new(Crowd::new(job)));
            for _ in 0..job.count {
                let socket = connected(SocketType::Sub, job)?;
                socket.subscribe("")?;
                let (crowd, mut new) = (Rc::clone(&crowd), true);
                tokio::task::spawn_local(async move {
                    while socket.recv().await.is_ok() {
                        crowd.borrow_mut().tick(&mut new);
                    }
                });
            }
            std::future::pending().await
        }
        "req" => {
            let socket = connected(SocketType::Req, job)?;
            let mut trips = Trips::new(job);
            loop {
                trips.asked();
                socket.send(fresh()).await?;
                socket.recv().await?;
                trips.answered();
            }
        }
        "rep" => {
            let socket = bound(SocketType::Rep, job, &[]).await?;
            loop {
                let message = socket.recv().await?;
                socket.send(message).await?;
            }
        }
        "dealer" => {
            let socket = connected(SocketType::Dealer, job)?;
            let mut trips = Trips::new(job);
            for _ in 0..job.window {
                trips.asked();
                socket.send(fresh()).await?;
            }
            loop {
                socket.recv().await?;
                trips.answered();
                trips.asked();
                socket.send(fresh()).await?;
            }
        }
        "router" => {
            let socket = bound(SocketType::Router, job, &[]).await?;
            loop {
                let message = socket.recv().await?;
                socket.send(message).await?;
            }
        }
        role => Err(format!("scale0 plays no {role}").into()),
    }
}

async fn bound(kind: SocketType, job: &Job, changes: &[(&str, &str)]) -> Result<Socket, Failure> {
    let mut options = Options::default();
    if job.curve {
        options.security = keys::server()?;
        options.authenticator = Some(Arc::new(Authorized::any()));
    }
    for (name, value) in changes {
        options.set(name, value)?;
    }
    let socket = Socket::with(kind, options);
    let endpoint = socket.bind("tcp://127.0.0.1:0").await?.to_string();
    say(&format!(
        "ready {}",
        endpoint.rsplit(':').next().unwrap_or_default()
    ));
    Ok(socket)
}

fn connected(kind: SocketType, job: &Job) -> Result<Socket, Failure> {
    let mut options = Options::default();
    if job.curve {
        options.security = keys::client()?;
    }
    let socket = Socket::with(kind, options);
    socket.connect(job.endpoint().as_str())?;
    Ok(socket)
}
