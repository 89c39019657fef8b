//! simdb that is killed or halted at one point of one step, or does not come to its end, given by `SIMDB_FAILPOINT`:
//!
//! ```text
//!   kill before slot cluster.orders.node.r[0]          the start is journalled, nothing was done
//!   kill 250 basebackup cluster.orders.node.r[0]       250 ms after the effect began, or when it ends before that
//!   kill after slot cluster.orders.node.r[0]           the effect is there, and not recorded
//!   halt before slot cluster.orders.node.r[0]          stopped (SIGSTOP) instead, until it is told to go on
//!   linger before slot cluster.orders.node.r[0]        the effect is not begun, and everything else goes on
//!   halt asks-3 fence cluster.orders.node.a            right before the effect asks for the third time whether it may
//! ```

use std::process::ExitCode;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use nix::sys::signal::{Signal, raise};
use simdb_planner::plan::Step;
use simdb_providers::effects::{Effects, StepError};
use simdb_state::BEFORE_CHECK;
use simdb_state::delta::Outputs;
use simdb_state::sensitive::Secrets;

const VARIABLE: &str = "SIMDB_FAILPOINT";

fn main() -> ExitCode {
    simdb::testing::run(std::env::args_os(), wrap).into()
}

fn wrap(effects: Arc<dyn Effects>) -> Arc<dyn Effects> {
    match std::env::var(VARIABLE) {
        Ok(text) => Arc::new(Failing {
            point: text.parse().expect("the test spells the point as this program does"),
            effects,
        }),
        Err(_) => effects,
    }
}

/// When, in the life of an effect.
#[derive(Debug)]
enum Moment {
    Before,
    Within(Duration),
    Asks(usize),
    After,
}

/// How often the effect may still ask before something happens.
static ASKS: AtomicUsize = AtomicUsize::new(usize::MAX);

/// What happens then, as the number of a signal.
static SIGNAL: AtomicI32 = AtomicI32::new(0);

fn asked() {
    let left = ASKS.load(Ordering::SeqCst);
    if left == usize::MAX {
        return;
    }
    ASKS.store(left.wrapping_sub(1), Ordering::SeqCst);
    if left == 1 {
        ASKS.store(usize::MAX, Ordering::SeqCst);
        let signal = Signal::try_from(SIGNAL.load(Ordering::SeqCst)).expect("it was one");
        raise(signal).expect("a process may signal itself");
    }
}

#[derive(Debug)]
struct Point {
    /// Absent where the step does not come to its end.
    signal: Option<Signal>,
    moment: Moment,
    name: String,
    address: String,
}

impl FromStr for Point {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let words: Vec<&str> = text.split(' ').collect();
        let [signal, moment, name, address] = words[..] else {
            return Err("there must be four words");
        };
        Ok(Self {
            signal: match signal {
                "kill" => Some(Signal::SIGKILL),
                "halt" => Some(Signal::SIGSTOP),
                "linger" => None,
                _ => return Err("only kill, halt and linger can be done"),
            },
            moment: match moment {
                "before" => Moment::Before,
                "after" => Moment::After,
                asks if asks.starts_with("asks-") => {
                    let number = asks.trim_start_matches("asks-").parse();
                    Moment::Asks(number.map_err(|_| "how often it asks is a number")?)
                }
                number => {
                    let number = number.parse().map_err(|_| "a moment in the middle is a number")?;
                    Moment::Within(Duration::from_millis(number))
                }
            },
            name: name.to_owned(),
            address: address.to_owned(),
        })
    }
}

/// Effects that end the process at one point of one step.
#[derive(Debug)]
struct Failing {
    point: Point,
    effects: Arc<dyn Effects>,
}

impl Failing {
    async fn strike(&self) {
        match self.point.signal {
            Some(signal) => raise(signal).expect("a process may signal itself"),
            None => std::future::pending().await,
        }
    }
}

#[async_trait]
impl Effects for Failing {
    async fn run(&self, step: &Step, secrets: &Secrets) -> Result<Outputs, StepError> {
        if step.action.name() != self.point.name || step.address.to_string() != self.point.address {
            return self.effects.run(step, secrets).await;
        }
        match self.point.moment {
            Moment::Before => {
                self.strike().await;
                self.effects.run(step, secrets).await
            }
            Moment::Within(delay) => {
                let effect = self.effects.run(step, secrets);
                tokio::pin!(effect);
                if let Ok(ended) = tokio::time::timeout(delay, &mut effect).await {
                    self.strike().await;
                    return ended;
                }
                self.strike().await;
                effect.await
            }
            Moment::Asks(times) => {
                let signal = self.point.signal.expect("only a signal can be raised within an effect");
                SIGNAL.store(signal as i32, Ordering::SeqCst);
                BEFORE_CHECK.get_or_init(|| asked);
                ASKS.store(times, Ordering::SeqCst);
                let ended = self.effects.run(step, secrets).await;
                ASKS.store(usize::MAX, Ordering::SeqCst);
                ended
            }
            Moment::After => {
                let ended = self.effects.run(step, secrets).await;
                self.strike().await;
                ended
            }
        }
    }
}
