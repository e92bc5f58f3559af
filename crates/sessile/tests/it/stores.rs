//! Every store under every law.

use std::sync::Arc;

use async_trait::async_trait;
use sessile::SessionId;
use sessile::conformance::Place;
use sessile::store::{MemoryStore, Store};

mod memory {
    use super::*;

    struct Memory(MemoryStore);

    #[async_trait]
    impl Place for Memory {
        async fn open(&self, namespace: &str) -> Arc<dyn Store> {
            Arc::new(self.0.clone().with_namespace(namespace))
        }

        async fn damage(&self, _namespace: &str, _id: SessionId) -> bool {
            false
        }
    }

    sessile::conformance_laws!(Memory(MemoryStore::new()));
}

#[cfg(feature = "file")]
pub(crate) mod file {
    use std::os::unix::fs::FileExt;

    use sessile::store::FileStore;
    use tempfile::TempDir;

    use super::*;

    pub(crate) struct Files(TempDir);

    impl Files {
        pub(crate) fn new() -> Self {
            Self(TempDir::new().unwrap())
        }
    }

    #[async_trait]
    impl Place for Files {
        async fn open(&self, namespace: &str) -> Arc<dyn Store> {
            let path = self.0.path().join("sessions");
            Arc::new(FileStore::builder(path).namespace(namespace).open().unwrap())
        }

        /// Overwrites both slots of the session's file.
        async fn damage(&self, namespace: &str, id: SessionId) -> bool {
            let name = id.to_string();
            let records = self.0.path().join("sessions").join(namespace).join("records");
            let path = records.join(&name[..2]).join(&name);
            let file = std::fs::OpenOptions::new().write(true).open(path).unwrap();
            file.write_all_at(&[0xff; 4032], 64).unwrap();
            true
        }
    }

    sessile::conformance_laws!(Files::new());
}
