//! Runs, their steps and their events.

use super::*;

#[tokio::test]
async fn steps_and_ends_need_a_run() {
    let mut writer = lock(&Store::in_memory().await.unwrap()).await;
    let no_run = |result| matches!(result, Err(StoreError::Journal(JournalError::NoRun)));
    assert!(no_run(writer.commit(&[started(0)]).await));
    assert!(no_run(writer.finish(RunEnd::Done).await));
    let id = writer.begin("apply", &json!({}), 1).await.unwrap();
    let second = writer.begin("apply", &json!({}), 1).await;
    assert!(matches!(second, Err(StoreError::Journal(JournalError::Running(running))) if running == id));
    let early = writer.finish(RunEnd::Done).await;
    assert!(matches!(early, Err(StoreError::Journal(JournalError::NotDone { .. }))));
}

#[tokio::test]
async fn every_event_is_kept_in_order() {
    let store = Store::in_memory().await.unwrap();
    let mut writer = lock(&store).await;
    let run = writer.begin("apply", &json!({}), 2).await.unwrap();
    writer.commit(&[started(0), started(1)]).await.unwrap();
    let failed = Entry::Failed {
        step: 1,
        cause: "no space left".to_owned(),
    };
    writer.commit(&[done(0, cluster()), failed]).await.unwrap();
    writer.finish(RunEnd::Failed).await.unwrap();
    let events = store.events().await.unwrap();
    assert!(
        events
            .iter()
            .all(|event| event.run.as_ref() == Some(&run) && event.at.ends_with('Z'))
    );
    let told: Vec<_> = events.iter().map(|event| (event.kind, event.step)).collect();
    assert_eq!(
        told,
        [
            (RunBegan, None),
            (StepStarted, Some(0)),
            (StepStarted, Some(1)),
            (StepDone, Some(0)),
            (StepFailed, Some(1)),
            (RunFailed, None)
        ]
    );
    assert_eq!(events[3].addresses.len(), 4, "the election is the cluster's");
}

#[tokio::test]
async fn what_is_noticed_outside_of_a_run_is_kept_and_changes_nothing_else() {
    let store = Store::in_memory().await.unwrap();
    let mut writer = lock(&store).await;
    let before = writer.state().clone();
    let cluster = crate::address::Address::Cluster("orders".parse().unwrap());
    let noticed = ClusterEvent::new(crate::journal::EventKind::SplitBrain, cluster.clone());
    writer.commit(&[Entry::Noticed(vec![noticed])]).await.unwrap();
    assert_eq!(writer.state(), &before);
    let event = store.events().await.unwrap().remove(0);
    assert_eq!(
        (event.kind.name(), event.run, event.addresses),
        ("split_brain", None, vec![cluster])
    );
}

#[tokio::test]
async fn a_killed_run_is_unfinished_until_the_next_one_begins() {
    let store = Store::in_memory().await.unwrap();
    let mut killed = lock(&store).await;
    let plan = json!({"steps": ["network", "primary"]});
    let id = killed.begin("apply", &plan, 3).await.unwrap();
    killed.commit(&[started(0), started(1), started(2)]).await.unwrap();
    let failed = Entry::Failed {
        step: 1,
        cause: "no space left".to_owned(),
    };
    killed.commit(&[done(0, cluster()), failed]).await.unwrap();
    assert_eq!(store.snapshot().await.unwrap().unfinished, None, "it goes on");

    store.force_unlock(&killed.owner().id.clone()).await.unwrap();
    drop(killed);
    let expected = UnfinishedRun {
        id,
        operation: "apply".to_owned(),
        plan,
        in_doubt: vec![2],
    };
    assert_eq!(store.snapshot().await.unwrap().unfinished, Some(expected.clone()));
    let mut next = lock(&store).await;
    assert_eq!(next.snapshot().unfinished, Some(expected));
    next.begin("apply", &json!({}), 0).await.unwrap();
    assert_eq!(next.snapshot().unfinished, None);
    let abandoned = next.record().run_row(&RunId("00000001".to_owned())).await.unwrap();
    assert_eq!(abandoned.unwrap().status, crate::journal::RunStatus::Abandoned);
    next.finish(RunEnd::Done).await.unwrap();
    assert_eq!(store.snapshot().await.unwrap().unfinished, None);
}

#[tokio::test]
async fn a_run_that_ended_early_is_unfinished_only_with_steps_in_doubt() {
    let store = Store::in_memory().await.unwrap();
    let mut writer = lock(&store).await;
    for end in [RunEnd::Failed, RunEnd::Cancelled] {
        writer.begin("apply", &json!({}), 2).await.unwrap();
        writer.finish(end).await.unwrap();
        assert_eq!(store.snapshot().await.unwrap().unfinished, None);
        writer.begin("apply", &json!({}), 2).await.unwrap();
        writer.commit(&[started(1)]).await.unwrap();
        writer.finish(end).await.unwrap();
        assert_eq!(store.snapshot().await.unwrap().unfinished.unwrap().in_doubt, [1]);
    }
}

#[tokio::test]
async fn the_last_twenty_runs_are_kept() {
    let mut writer = lock(&Store::in_memory().await.unwrap()).await;
    for _ in 0..22 {
        writer.begin("apply", &json!({}), 1).await.unwrap();
        writer.commit(&[started(0), done(0, Vec::new())]).await.unwrap();
        writer.finish(RunEnd::Done).await.unwrap();
    }
    let rows = writer.record().list(&["run/"]).await.unwrap();
    assert_eq!(rows.len(), 20 * 3, "each with its plan and its step");
    assert_eq!(rows[0].key.as_str(), "run/00000003");
}

#[tokio::test]
async fn names_that_a_primary_may_have_are_kept_from_the_start_of_their_step_to_its_end() {
    let place = Place::new();
    let store = place.create().await;
    let mut writer = lock(&store).await;
    writer.begin("apply", &json!({}), 4).await.unwrap();
    writer.commit(&[started(0), done(0, cluster())]).await.unwrap();
    let names = |names: &str| vec![Edit::SyncRule("orders".parse().unwrap(), names.into())];
    let (one, both) = ("ANY 1 (r_0)", "ANY 1 (r_0, r_1)");
    writer.commit(&[starting(1, names(both))]).await.unwrap();
    let recorded = async || {
        let state = place.open().await.snapshot().await.unwrap().state;
        let cluster = state.clusters.into_values().next().unwrap();
        let pending: Vec<String> = cluster
            .pending_sync_rules
            .into_iter()
            .map(|pending| format!("{}: {}", pending.node, pending.rule))
            .collect();
        (cluster.sync_rule.to_string(), pending.join(" "))
    };
    assert_eq!(recorded().await, (String::new(), format!("a: {both}")));
    let failed = Entry::Failed {
        step: 1,
        cause: "no answer".to_owned(),
    };
    writer.commit(&[failed, starting(2, names(one))]).await.unwrap();
    assert_eq!(recorded().await, (String::new(), format!("a: {one} a: {both}")));
    writer.commit(&[done(2, names(one))]).await.unwrap();
    assert_eq!(recorded().await, (one.to_owned(), String::new()));
    // Whoever succeeds may have standbys that lack what these acknowledged.
    let succession = || {
        vec![Edit::Succession {
            node: node("cluster.orders.node.a"),
            former: "b".parse().unwrap(),
            rule: both.into(),
        }]
    };
    writer.commit(&[starting(3, succession())]).await.unwrap();
    assert_eq!(recorded().await, (one.to_owned(), format!("a: {both}")));
    writer.commit(&[done(3, succession())]).await.unwrap();
    assert_eq!(recorded().await, (both.to_owned(), format!("b: {one}")));
    assert_eq!(writer.state(), &place.open().await.snapshot().await.unwrap().state);
}
