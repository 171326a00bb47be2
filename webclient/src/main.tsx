import '@fontsource-variable/inter/index.css';
import { render } from 'solid-js/web';
import { App } from './ui/App';
import './ui/styles/tokens.css';
import './ui/styles/base.css';
import './ui/styles/pages.css';
import './ui/styles/call.css';

const root = document.getElementById('root');
if (root) render(() => <App />, root);
