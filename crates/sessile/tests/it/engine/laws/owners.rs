//! Where am I signed in, end that one, end all others.

use sessile::{Owner, SessionId};

use crate::engine::Place;
use crate::engine::harness::Server;

async fn ids(server: &Server, owner: &str) -> Vec<SessionId> {
    let page = server.sessions.list(owner, None, None).await.unwrap();
    page.devices.iter().map(|device| device.session.id).collect()
}

// R79
pub(crate) async fn devices_are_listed_with_the_current_one_marked(place: &Place) {
    let server = Server::new(place);
    let (here, there) = (server.signed_in("ann").await, server.signed_in("ann").await);
    server.signed_in("bob").await;
    server.write("", "key", "anonymous").await;
    let current = server.id(&here).await;
    let page = server.sessions.list("ann", current, None).await.unwrap();
    let marked = |device: &sessile::Device| device.current.then_some(device.session.id);
    assert_eq!(page.devices.iter().filter_map(marked).collect::<Vec<_>>(), [current.unwrap()]);
    assert_eq!((page.devices.len(), page.next), (2, None));
    assert!(ids(&server, "ann").await.contains(&server.id(&there).await.unwrap()));
}

pub(crate) async fn revoking_needs_the_right_owner(place: &Place) {
    let server = Server::new(place);
    let cookie = server.signed_in("ann").await;
    let id = server.id(&cookie).await.unwrap();
    assert!(!server.sessions.revoke("bob", id).await.unwrap());
    assert!(server.id(&cookie).await.is_some());
    assert!(server.sessions.revoke("ann", id).await.unwrap());
    assert!(!server.sessions.revoke("ann", id).await.unwrap());
    assert_eq!(server.id(&cookie).await, None);
    assert!(
        server
            .sessions
            .list(&Owner::new("ann").unwrap(), None, None)
            .await
            .unwrap()
            .devices
            .is_empty()
    );
}

// R40
pub(crate) async fn revoke_all_spares_the_exception(place: &Place) {
    let server = Server::new(place);
    let here = server.signed_in("ann").await;
    let others = [server.signed_in("ann").await, server.signed_in("ann").await];
    let bob = server.signed_in("bob").await;
    server.clock.advance(std::time::Duration::from_secs(1));
    let current = server.id(&here).await;
    assert_eq!(server.sessions.revoke_all("ann", current).await.unwrap(), 2);
    assert_eq!(ids(&server, "ann").await, [current.unwrap()]);
    for cookie in others {
        assert_eq!(server.id(&cookie).await, None);
    }
    assert!(server.id(&bob).await.is_some());
}

pub(crate) async fn a_session_is_found_by_its_id_and_written_by_commit(place: &Place) {
    let server = Server::new(place);
    let cookie = server.signed_in("ann").await;
    let id = server.id(&cookie).await.unwrap();
    let found = server.sessions.find(id).await.unwrap().unwrap();
    found.insert("from", "a job").unwrap();
    assert!(found.login("bob").is_err() && found.rotate().is_err());
    found.commit().await.unwrap();
    assert_eq!(server.read(&cookie, "from").await.as_deref(), Some("a job"));
    found.invalidate().unwrap();
    found.commit().await.unwrap();
    assert!(server.sessions.find(id).await.unwrap().is_none());
}
