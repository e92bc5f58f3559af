//! A cookie that somebody planted gains nothing by the victim's login.

use super::Ground;
use super::pair::{ANY, request};
use super::worker::{Task, Wish};
use crate::engine::harness::{Server, kind_of};
use sessile::ErrorKind;

const THEFTS: usize = 6;

/// R28: whoever polls with it and writes to it, before, during and after, stays outside; what was
/// acknowledged to them came before the login, and came along with it.
pub(crate) async fn a_planted_cookie_gains_nothing_by_a_login_elsewhere(place: &Ground) {
    let server = Server::new(&place.place);
    let mut races = place.races("a login");
    while let Some(mut dice) = races.next() {
        let (victim, planted) =
            (format!("ann{}", races.seed), server.write("", "key", "old").await);
        let mut login = request(&planted, &mut dice, &ANY);
        login.wishes = vec![Wish::Insert("private".into()), Wish::LogIn(victim.clone())];
        let mut tasks = vec![(0, Task::Request(login))];
        for n in 0..THEFTS {
            let mut theft = request(&planted, &mut dice, &ANY);
            theft.wishes.extend((n % 3 != 0).then(|| Wish::Insert(format!("theft{n}"))));
            tasks.push((dice.below(2), Task::Request(theft)));
        }
        let mut answers = races.pair.run(&tasks);
        let login = answers.remove(0);
        assert_eq!(login.failed, None);
        let session = server.visit(&login.cookie.unwrap()).await.session;
        assert_eq!(session.owner().unwrap().as_str(), victim);
        for (n, theft) in answers.iter().enumerate() {
            assert_eq!((&theft.owner, &theft.cookie), (&None, &None), "{theft:?}");
            assert!(!theft.keys.contains(&"private".into()), "{theft:?}");
            let wrote = n % 3 != 0 && theft.failed.is_none();
            assert_eq!(session.contains(&format!("theft{n}")), wrote, "{theft:?}");
            assert!(theft.failed.as_ref().is_none_or(|kind| kind == "Ended"), "{theft:?}");
        }
        let late = server.visit(&planted).await;
        assert!(late.session.id().is_none() && late.session.keys().is_empty());
        late.session.insert("late", "theft").unwrap();
        assert_eq!(kind_of(late.finish().await), Some(ErrorKind::Ended));
    }
}
