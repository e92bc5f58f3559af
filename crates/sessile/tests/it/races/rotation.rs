//! Requests around a rotation, in both processes, all succeed.

use super::Ground;
use super::pair::{ANY, request};
use super::worker::{Task, Wish};
use crate::engine::harness::Server;

const REQUESTS: usize = 20;

/// R31: and no write of theirs is lost, and one of those who rotate gives the one new cookie.
pub(crate) async fn requests_around_a_rotation_elsewhere_all_succeed(place: &Ground) {
    let server = Server::new(&place.place);
    let mut races = place.races("a rotation");
    while let Some(mut dice) = races.next() {
        let old = server.signed_in(&format!("ann{}", races.seed)).await;
        let rotating = [dice.below(REQUESTS), dice.below(REQUESTS)];
        let mut tasks = Vec::new();
        for n in 0..REQUESTS {
            let mut wishes = vec![Wish::Insert(format!("key{n}")), Wish::Count];
            wishes.extend(rotating.contains(&n).then_some(Wish::Rotate));
            let request = super::worker::Request { wishes, ..request(&old, &mut dice, &ANY) };
            tasks.push((n % 2, Task::Request(request)));
        }
        let answers = races.pair.run(&tasks);
        assert!(answers.iter().all(|answer| answer.failed.is_none()), "{answers:?}");
        let cookies: Vec<_> = answers.iter().filter_map(|answer| answer.cookie.clone()).collect();
        assert_eq!(cookies.len(), 1, "{cookies:?}");
        for cookie in [&cookies[0], &old] {
            let session = server.visit(cookie).await.session;
            assert_eq!(session.get::<usize>("count").unwrap(), Some(REQUESTS));
            assert_eq!(session.keys().len(), REQUESTS + 1);
        }
    }
}
