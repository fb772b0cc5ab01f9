//! The crate `omq-tokio`: sockets driven by the caller's runtime, which on one processor is faster
//! in every case than its own I/O threads.

use std::cell::RefCell;
use std::rc::Rc;

use omq_tokio::{
    CurveKeypair, CurvePublicKey, CurveSecretKey, Message, OnMute, Options, Socket, SocketType,
};

use crate::Failure;
use crate::child::say;
use crate::keys;
use crate::sockets::job::Job;
use crate::sockets::meter::{Crowd, Meter, Trips};

pub async fn play(job: &Job) -> Result<(), Failure> {
    let payload = job.payload();
    let fresh = || Message::from_slice(&payload);
    match job.role.as_str() {
        "push" => {
            let socket = connected(SocketType::Push, job).await?;
            loop {
                socket.send(fresh()).await?;
            }
        }
        "pull" => {
            let socket = bound(SocketType::Pull, job, Options::default()).await?;
            let mut meter = Meter::new(job);
            loop {
                socket.recv().await?;
                meter.tick();
            }
        }
        role @ ("pub" | "pubwait") => {
            let mut options = Options::default();
            if role == "pubwait" {
                options.xpub_nodrop = true;
                options = options.on_mute(OnMute::Block);
            }
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
                let socket = connected(SocketType::Sub, job).await?;
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
            let socket = connected(SocketType::Req, job).await?;
            let mut trips = Trips::new(job);
            loop {
                trips.asked();
                socket.send(fresh()).await?;
                socket.recv().await?;
                trips.answered();
            }
        }
        "rep" => {
            let socket = bound(SocketType::Rep, job, Options::default()).await?;
            loop {
                let message = socket.recv().await?;
                socket.send(message).await?;
            }
        }
        "dealer" => {
            let socket = connected(SocketType::Dealer, job).await?;
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
            let socket = bound(SocketType::Router, job, Options::default()).await?;
            loop {
                let message = socket.recv().await?;
                socket.send(message).await?;
            }
        }
        role => Err(format!("omq plays no {role}").into()),
    }
}

async fn bound(kind: SocketType, job: &Job, mut options: Options) -> Result<Socket, Failure> {
    if job.curve {
        options = options.curve_server(pair(keys::SERVER_SECRET)?);
    }
    let socket = Socket::new(kind, options);
    let endpoint = socket.bind("tcp://127.0.0.1:0").await?.to_string();
    say(&format!(
        "ready {}",
        endpoint.rsplit(':').next().unwrap_or_default()
    ));
    Ok(socket)
}

async fn connected(kind: SocketType, job: &Job) -> Result<Socket, Failure> {
    let mut options = Options::default();
    if job.curve {
        let server = CurvePublicKey::from_z85(keys::SERVER)?;
        options = options.curve_client(pair(keys::CLIENT_SECRET)?, server);
    }
    let socket = Socket::new(kind, options);
    socket.connect(job.endpoint().as_str()).await?;
    Ok(socket)
}

fn pair(secret: &str) -> Result<CurveKeypair, Failure> {
    let secret = CurveSecretKey::from_z85(secret)?;
    let public = secret.derive_public();
    Ok(CurveKeypair { public, secret })
}
