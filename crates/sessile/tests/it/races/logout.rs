//! A logout is final, whatever is under way in either process.

use super::Ground;
use super::pair::{ANY, request};
use super::worker::{Task, Wish};
use crate::engine::harness::Server;

/// R38: no write, no use and no rotation brings the session back, and none that came too late is
/// acknowledged with a cookie that opens anything.
pub(crate) async fn no_request_elsewhere_undoes_a_logout(place: &Ground) {
    let server = Server::new(&place.place);
    let mut races = place.races("a logout");
    while let Some(mut dice) = races.next() {
        let owner = format!("ann{}", races.seed);
        let cookie = server.signed_in(&owner).await;
        let id = server.id(&cookie).await.unwrap();
        let mut leaving = request(&cookie, &mut dice, &ANY);
        leaving.wishes = vec![Wish::LogOut];
        let mut tasks = vec![(0, Task::Request(leaving))];
        for n in 0..8 {
            let mut other = request(&cookie, &mut dice, &[ANY[0], ANY[1]]);
            other.wishes = match n % 4 {
                0 => vec![Wish::Insert(format!("key{n}"))],
                1 => vec![Wish::Count],
                2 => vec![Wish::Rotate],
                _ => Vec::new(),
            };
            tasks.push((dice.below(2), Task::Request(other)));
        }
        let answers = races.pair.run(&tasks);
        assert_eq!(answers[0].failed, None);
        assert!(server.sessions.find(id).await.unwrap().is_none(), "{answers:?}");
        assert!(server.sessions.list(&owner, None, None).await.unwrap().devices.is_empty());
        for answer in &answers[1..] {
            // Who found nobody any more begins a session of nobody's by what it writes.
            let nobodys = answer.owner.is_none();
            let failed = answer.failed.as_deref();
            assert!(failed.is_none() || failed == Some("Ended"), "{answer:?}");
            if let Some(cookie) = &answer.cookie {
                let session = server.visit(cookie).await.session;
                assert!(
                    session.owner().is_none() && session.id().is_some() == nobodys,
                    "{answer:?}"
                );
            }
        }
    }
}
