//! A worker with two services: `cargo run --example worker`, with a broker running.

use scale0::sdk::Failure;
use scale0::{Task, Worker};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    Worker::builder("tcp://127.0.0.1:5555")?
        .capacity(8)
        .service("upper", async |task: Task| Ok(task.text().to_uppercase()))
        .idempotent_service("sum", async |task: Task| {
            let mut sum = 0_i64;
            for part in task.body().parts() {
                let text = String::from_utf8_lossy(part);
                sum += text
                    .trim()
                    .parse::<i64>()
                    .map_err(|_| Failure::new(422, format!("{text} is no number")))?;
                // The client sees how far it has come.
                task.partial(sum.to_string()).await;
            }
            Ok(sum.to_string())
        })
        .build()?
        .run(async { drop(tokio::signal::ctrl_c().await) })
        .await?;
    Ok(())
}
