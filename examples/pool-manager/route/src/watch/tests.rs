use std::cell::RefCell;
use std::io::Write;
use std::sync::Mutex;

use super::*;
use crate::pool::Pool;
use crate::shared::Member;
use crate::sight::Role;
use crate::testing::{World, sight};

/// A server that answers or not, and when it was asked.
#[derive(Clone, Default)]
struct Asked {
    answer: Arc<Mutex<Option<Sight>>>,
    at: Arc<Mutex<Vec<Duration>>>,
    began: Option<Instant>,
}

impl Look for Asked {
    async fn look(&mut self) -> Result<Sight, String> {
        let began = *self.began.get_or_insert_with(Instant::now);
        self.at.lock().unwrap().push(began.elapsed());
        self.answer
            .lock()
            .unwrap()
            .clone()
            .ok_or_else(|| "connection refused".to_owned())
    }
}

thread_local! {
    /// What this thread has logged.
    static LOG: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Keeps what is logged, each thread's apart. One subscriber of the whole process, as what other threads log with none of
/// their own could not be seen later.
struct Log;

impl Log {
    fn begin() {
        let subscriber = tracing_subscriber::fmt()
            .with_writer(|| Log)
            .without_time()
            .with_target(false)
            .finish();
        tracing::subscriber::set_global_default(subscriber).expect("no other test has one");
    }

    fn lines() -> Vec<String> {
        let text = LOG.with_borrow(|log| String::from_utf8_lossy(log).into_owned());
        text.lines().map(|line| line.trim().to_owned()).collect()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        LOG.with_borrow_mut(|log| log.write(bytes))
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Probes one server; a primary is searched for so long.
fn begin(search: Duration) -> (Arc<Shared>, Asked) {
    let world = World::of(1);
    let mut config = world.config();
    config.failover_wait = search;
    let way = Way {
        dial: Arc::new(world),
        config: config.addresses[0].config.clone(),
        limit: Duration::from_secs(1),
    };
    let member = Member::new("a:1".to_owned(), Pool::new(way, 1));
    let shared = Arc::new(Shared::new(config, vec![member]));
    let asked = Asked::default();
    tokio::spawn(watch(Arc::clone(&shared), 0, asked.clone()));
    (shared, asked)
}

#[tokio::test(start_paused = true)]
async fn an_address_that_fails_is_tried_after_2_4_8_16_32_seconds_and_then_when_a_query_asks() {
    Log::begin();
    let (shared, asked) = begin(Duration::from_secs(1));
    tokio::time::sleep(Duration::from_secs(500)).await;

    let times = asked.at.lock().unwrap().clone();
    // Those of the search come within its second.
    let attempts: Vec<f64> = times.iter().map(Duration::as_secs_f64).filter(|at| *at > 1.5).collect();
    assert_eq!(attempts.len(), 5, "{times:?}");
    let gaps = std::iter::once(attempts[0]).chain(attempts.windows(2).map(|pair| pair[1] - pair[0]));
    for (gap, wait) in gaps.zip([2.0, 4.0, 8.0, 16.0, 32.0]) {
        assert!((wait * 0.899..=wait * 1.101).contains(&gap), "{gap} {wait}");
    }
    let retries = [2, 4, 8, 16, 32].into_iter().enumerate();
    let mut expected: Vec<String> = retries
        .map(|(at, wait)| {
            let attempt = at + 1;
            format!("WARN Connection attempt {attempt} failed: connection refused. Retrying in {wait}s address=\"a:1\"")
        })
        .collect();
    expected.push(
        "ERROR Failed to establish connection after 5 attempts address=\"a:1\" reason=\"connection refused\""
            .to_owned(),
    );
    assert_eq!(Log::lines(), expected);
    assert!(shared.members[0].is_given_up());

    // A query asks, and the server is back.
    *asked.answer.lock().unwrap() = Some(sight(Role::Primary, 1, 1, "a"));
    shared.members[0].kick.notify_one();
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(!shared.members[0].is_given_up());
    assert_eq!(shared.view().primary(), Some(0));
    let last = Log::lines().split_off(expected.len());
    assert_eq!(
        last,
        [
            "INFO Database connection established address=\"a:1\"",
            "INFO Database primary found address=\"a:1\" timeline=1"
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn queries_try_an_address_that_was_given_up_once_a_second_at_most() {
    let (shared, asked) = begin(Duration::from_secs(1));
    tokio::time::sleep(Duration::from_secs(100)).await;
    let before = asked.at.lock().unwrap().len();
    for _ in 0..500 {
        shared.members[0].kick.notify_one();
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let tries = asked.at.lock().unwrap().len() - before;
    assert!((5..=6).contains(&tries), "{tries}");
}

#[tokio::test(start_paused = true)]
async fn an_address_that_answers_is_probed_once_a_second_and_after_a_loss_at_once_and_often() {
    let (shared, asked) = begin(Duration::from_secs(10));
    *asked.answer.lock().unwrap() = Some(sight(Role::Primary, 1, 1, "a"));
    tokio::time::sleep(Duration::from_millis(10_500)).await;
    assert_eq!(asked.at.lock().unwrap().len(), 11);
    // It becomes a standby, and a connection to it breaks.
    *asked.answer.lock().unwrap() = Some(sight(Role::Standby, 1, 1, "a"));
    asked.at.lock().unwrap().clear();
    shared.members[0].kick.notify_one();
    let gaps = |from: Duration, to: Duration| -> Vec<u128> {
        let times = asked.at.lock().unwrap();
        let times = times.iter().filter(|at| (from..=to).contains(at));
        let times: Vec<u128> = times.map(Duration::as_millis).collect();
        times.windows(2).map(|pair| pair[1] - pair[0]).collect()
    };
    let lost = Duration::from_millis(10_500);
    tokio::time::sleep(Duration::from_secs(2)).await;
    let eager = gaps(lost, lost + Duration::from_secs(2));
    assert!(eager.len() >= 78 && eager.iter().all(|gap| *gap <= 26), "{eager:?}");
    assert_eq!(shared.view().primary(), None);
}

#[tokio::test(start_paused = true)]
async fn an_address_that_fails_is_asked_less_and_less_often_while_the_primary_is_searched_for() {
    let (_shared, asked) = begin(Duration::from_secs(1));
    tokio::time::sleep(Duration::from_millis(1_750)).await;
    let times: Vec<u128> = asked.at.lock().unwrap().iter().map(Duration::as_millis).collect();
    // The wait that the search ends in is the last.
    assert_eq!(times, [0, 25, 75, 175, 375, 775, 1175]);
}

#[tokio::test]
async fn a_refused_connection_is_named_so() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let url = format!("postgres://u@127.0.0.1:{port}/d");
    let error = tokio_postgres::connect(&url, tokio_postgres::NoTls)
        .await
        .err()
        .unwrap();
    assert_eq!(reason(&error), "connection refused");
}
