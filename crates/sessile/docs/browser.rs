// What the programs of the cookbook drive their routers with.

/// A browser: it sends its cookies, and keeps those it is given.
#[derive(Clone)]
#[allow(dead_code)]
struct Browser {
    app: axum::Router,
    cookies: std::collections::BTreeMap<String, String>,
}

/// What came back.
#[allow(dead_code)]
struct Answer {
    status: axum::http::StatusCode,
    headers: axum::http::HeaderMap,
    text: String,
}

#[allow(dead_code)]
impl Browser {
    fn new(app: &axum::Router) -> Self {
        Self { app: app.clone(), cookies: Default::default() }
    }

    async fn get(&mut self, path: &str) -> Answer {
        self.send(axum::http::Request::get(path), "").await
    }

    async fn post(&mut self, path: &str, form: &str) -> Answer {
        self.send(axum::http::Request::post(path), form).await
    }

    async fn send(&mut self, mut request: axum::http::request::Builder, form: &str) -> Answer {
        for (name, value) in &self.cookies {
            request = request.header("cookie", format!("{name}={value}"));
        }
        request = request.header("content-type", "application/x-www-form-urlencoded");
        let request = request.body(axum::body::Body::from(form.to_owned())).unwrap();
        let response = tower::ServiceExt::oneshot(self.app.clone(), request).await.unwrap();
        let (head, body) = response.into_parts();
        for set in head.headers.get_all("set-cookie") {
            let pair = set.to_str().unwrap().split(';').next().unwrap();
            let (name, value) = pair.split_once('=').unwrap();
            match value {
                "" => self.cookies.remove(name),
                value => self.cookies.insert(name.to_owned(), value.to_owned()),
            };
        }
        let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
        let text = String::from_utf8(body.to_vec()).unwrap();
        Answer { status: head.status, headers: head.headers, text }
    }
}
