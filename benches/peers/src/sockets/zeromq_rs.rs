//! The crate `zeromq` (zmq.rs). It has no HWM to set.

use std::cell::RefCell;
use std::rc::Rc;

use bytes::Bytes;
use zeromq::{
    DealerSocket, Endpoint, PubSocket, PullSocket, PushSocket, RepSocket, ReqSocket, RouterSocket,
    Socket, SocketRecv, SocketSend, SubSocket,
};

use crate::Failure;
use crate::child::say;
use crate::sockets::job::Job;
use crate::sockets::meter::{Crowd, Meter, Trips};

pub async fn play(job: &Job) -> Result<(), Failure> {
    let payload = job.payload();
    let fresh = || Bytes::copy_from_slice(&payload);
    match job.role.as_str() {
        "push" => {
            let mut socket = connected::<PushSocket>(job).await?;
            // Its queue takes 100,000 messages before it waits: on one thread nothing would be
            // written until then.
            loop {
                for _ in 0..job.burst() {
                    socket.send(fresh().into()).await?;
                }
                tokio::task::yield_now().await;
            }
        }
        "pull" => {
            let mut socket = bound::<PullSocket>().await?;
            let mut meter = Meter::new(job);
            loop {
                socket.recv().await?;
                meter.tick();
            }
        }
        "pub" => {
            let mut socket = bound::<PubSocket>().await?;
            loop {
                for _ in 0..job.burst() {
                    socket.send(fresh().into()).await?;
                }
                tokio::task::yield_now().await;
            }
        }
        "sub" => {
            let crowd = Rc::new(RefCell::new(Crowd::new(job)));
            for _ in 0..job.count {
                let mut socket = connected::<SubSocket>(job).await?;
                socket.subscribe("").await?;
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
            let mut socket = connected::<ReqSocket>(job).await?;
            let mut trips = Trips::new(job);
            loop {
                trips.asked();
                socket.send(fresh().into()).await?;
                socket.recv().await?;
                trips.answered();
            }
        }
        "rep" => {
            let mut socket = bound::<RepSocket>().await?;
            loop {
                let message = socket.recv().await?;
                socket.send(message).await?;
            }
        }
        "dealer" => {
            let mut socket = connected::<DealerSocket>(job).await?;
            let mut trips = Trips::new(job);
            for _ in 0..job.window {
                trips.asked();
                socket.send(fresh().into()).await?;
            }
            loop {
                socket.recv().await?;
                trips.answered();
                trips.asked();
                socket.send(fresh().into()).await?;
            }
        }
        "router" => {
            let mut socket = bound::<RouterSocket>().await?;
            loop {
                let message = socket.recv().await?;
                socket.send(message).await?;
            }
        }
        role => Err(format!("zeromq plays no {role}").into()),
    }
}

async fn bound<S: Socket>() -> Result<S, Failure> {
    let mut socket = S::new();
    match socket.bind("tcp://127.0.0.1:0").await? {
        Endpoint::Tcp(_, port) => say(&format!("ready {port}")),
        endpoint => return Err(format!("bound {endpoint}").into()),
    }
    Ok(socket)
}

async fn connected<S: Socket>(job: &Job) -> Result<S, Failure> {
    let mut socket = S::new();
    socket.connect(&job.endpoint()).await?;
    Ok(socket)
}
