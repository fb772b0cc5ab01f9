//! The crate `rzmq`, as it comes: without io_uring and without TCP_CORK (which helps here only
//! where it publishes).

use std::cell::RefCell;
use std::rc::Rc;

use rzmq::socket::options::{
    AUTO_DELIMITER, LAST_ENDPOINT, RCVHWM, SNDHWM, SUBSCRIBE, XPUB_NODROP,
};
use rzmq::{Context, Msg, Socket, SocketType};

use crate::Failure;
use crate::child::say;
use crate::sockets::job::Job;
use crate::sockets::meter::{Crowd, Meter, Trips};

pub async fn play(job: &Job) -> Result<(), Failure> {
    let context = Context::new()?;
    let payload = job.payload();
    let fresh = || Msg::from_vec(payload.clone());
    match job.role.as_str() {
        "push" => {
            let socket = connected(&context, SocketType::Push, job).await?;
            loop {
                socket.send(fresh()).await?;
            }
        }
        "pull" => {
            let socket = bound(&context, SocketType::Pull).await?;
            let mut meter = Meter::new(job);
            loop {
                socket.recv().await?;
                meter.tick();
            }
        }
        role @ ("pub" | "pubwait") => {
            let socket = made(&context, SocketType::Pub).await?;
            if role == "pubwait" {
                socket.set_option(XPUB_NODROP, true).await?;
            }
            bind(&socket).await?;
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
                let socket = connected(&context, SocketType::Sub, job).await?;
                socket.set_option_raw(SUBSCRIBE, b"").await?;
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
            let socket = connected(&context, SocketType::Req, job).await?;
            let mut trips = Trips::new(job);
            loop {
                trips.asked();
                socket.send(fresh()).await?;
                socket.recv().await?;
                trips.answered();
            }
        }
        "rep" => {
            let socket = bound(&context, SocketType::Rep).await?;
            loop {
                let message = socket.recv().await?;
                socket.send(message).await?;
            }
        }
        "dealer" => {
            let socket = connected(&context, SocketType::Dealer, job).await?;
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
            let socket = bound(&context, SocketType::Router).await?;
            loop {
                let message = socket.recv_multipart().await?;
                socket.send_multipart(message).await?;
            }
        }
        role => Err(format!("rzmq plays no {role}").into()),
    }
}

async fn made(context: &Context, kind: SocketType) -> Result<Socket, Failure> {
    let socket = context.socket(kind)?;
    socket.set_option(SNDHWM, 1000).await?;
    socket.set_option(RCVHWM, 1000).await?;
    if matches!(kind, SocketType::Dealer | SocketType::Router) {
        socket.set_option(AUTO_DELIMITER, false).await?;
    }
    Ok(socket)
}

async fn bind(socket: &Socket) -> Result<(), Failure> {
    socket.bind("tcp://127.0.0.1:0").await?;
    let endpoint = String::from_utf8(socket.get_option(LAST_ENDPOINT).await?)?;
    let port = endpoint.rsplit(':').next().unwrap_or_default();
    say(&format!("ready {}", port.trim_end_matches('\0')));
    Ok(())
}

async fn bound(context: &Context, kind: SocketType) -> Result<Socket, Failure> {
    let socket = made(context, kind).await?;
    bind(&socket).await?;
    Ok(socket)
}

async fn connected(context: &Context, kind: SocketType, job: &Job) -> Result<Socket, Failure> {
    let socket = made(context, kind).await?;
    socket.connect(&job.endpoint()).await?;
    Ok(socket)
}
